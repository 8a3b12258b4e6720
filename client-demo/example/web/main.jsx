// The task list: sign in, give out tasks, see what others do at once.
import { useCallback, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

import { get, post, remove } from "./api.js";
import { Bell } from "./bell.jsx";
import { useSocket } from "./connection.js";
import { Toasts } from "./toasts.jsx";

function App() {
  const [me, setMe] = useState(undefined); // undefined: not known yet; null: nobody
  const who = useCallback(() => get("/api/me").then(setMe, () => setMe(null)), []);
  useEffect(() => void who(), [who]);
  if (me === undefined) return null;
  return me ? <Tasks me={me} onSignOut={() => setMe(null)} /> : <SignIn onSignIn={who} />;
}

function SignIn({ onSignIn }) {
  const [name, setName] = useState("");
  const [fault, setFault] = useState("");
  const submit = (event) => {
    event.preventDefault();
    post("/api/session", { name }).then(onSignIn, (error) => setFault(error.message));
  };
  return (
    <main className="card narrow">
      <h1>Tasks</h1>
      <form onSubmit={submit}>
        <label>
          Your name
          <input value={name} onChange={(event) => setName(event.target.value)} autoFocus required />
        </label>
        <button>Sign in</button>
      </form>
      <p role="alert">{fault}</p>
    </main>
  );
}

function Tasks({ me, onSignOut }) {
  const [tasks, setTasks] = useState([]);
  const [fault, setFault] = useState("");
  const { socket, connected } = useSocket(me.notify);

  const load = useCallback(() => get("/api/tasks").then(setTasks, (error) => setFault(error.message)), []);
  useEffect(() => void load(), [load]);
  useEffect(() => {
    if (!socket) return undefined;
    // What a notification is about has changed: look again. After a gap that recovery could not fill, too.
    const connect = () => socket.recovered || load();
    socket.on("notification", load);
    socket.on("connect", connect);
    return () => socket.off("notification", load).off("connect", connect);
  }, [socket, load]);

  const act = (promise) => promise.then(() => (setFault(""), load()), (error) => setFault(error.message));
  return (
    <>
      <header>
        <h1>Tasks</h1>
        <span className={connected ? "live on" : "live"}>{connected ? "live" : "connecting …"}</span>
        <span className="who">{me.user}</span>
        <Bell socket={socket} />
        <button className="plain" onClick={() => remove("/api/session").then(onSignOut)}>Sign out</button>
      </header>
      <main className="card">
        <NewTask onAdd={(task) => act(post("/api/tasks", task))} />
        <p role="alert">{fault}</p>
        <ul className="tasks">
          {tasks.map((task) => (
            <TaskRow key={task.id} task={task} me={me.user} onDone={() => act(post(`/api/tasks/${task.id}/done`))} />
          ))}
        </ul>
        {tasks.length === 0 && <p className="empty">Nothing to do.</p>}
      </main>
      <Toasts socket={socket} />
    </>
  );
}

function NewTask({ onAdd }) {
  const [title, setTitle] = useState("");
  const [assignee, setAssignee] = useState("");
  const submit = (event) => {
    event.preventDefault();
    onAdd({ title, assignee });
    setTitle("");
  };
  return (
    <form className="row" onSubmit={submit}>
      <label>
        What
        <input value={title} onChange={(event) => setTitle(event.target.value)} required />
      </label>
      <label>
        Who
        <input value={assignee} onChange={(event) => setAssignee(event.target.value)} required />
      </label>
      <button>Add</button>
    </form>
  );
}

function TaskRow({ task, me, onDone }) {
  return (
    <li id={`task-${task.id}`} className={task.done ? "done" : ""}>
      <span className="title">{task.title}</span>
      <span className="people">
        {task.creator} → {task.assignee}
      </span>
      {task.assignee === me && !task.done && <button onClick={onDone}>Done</button>}
    </li>
  );
}

createRoot(document.getElementById("root")).render(<App />);
