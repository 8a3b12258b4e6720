// What has just come, for a few seconds.
import { useEffect, useState } from "react";

const SHOWN_MS = 6000;

export function Toasts({ socket }) {
  const [shown, setShown] = useState([]);
  useEffect(() => {
    if (!socket) return undefined;
    const timers = new Set();
    const show = ({ id, title, body, url }) => {
      setShown((before) => [...before.filter((each) => each.id !== id), { id, title, body, url }].slice(-4));
      const timer = setTimeout(() => {
        timers.delete(timer);
        setShown((before) => before.filter((each) => each.id !== id));
      }, SHOWN_MS);
      timers.add(timer);
    };
    socket.on("notification", show);
    return () => {
      socket.off("notification", show);
      timers.forEach(clearTimeout);
    };
  }, [socket]);
  return (
    <aside className="toasts" role="status">
      {shown.map(({ id, title, body, url }) => (
        <a key={id} className="toast" href={url?.startsWith("/") ? url : undefined}>
          <strong>{title}</strong>
          <span>{body}</span>
        </a>
      ))}
    </aside>
  );
}
