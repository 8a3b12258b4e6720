const HIDDEN_MS = 250;

/** `draw`, at most once a frame however often it is asked for: a thousand arrivals cost sixty drawings. */
export function oncePerFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    const now = () => {
      asked = false;
      draw();
    };
    // A hidden tab has no frames, but its title still counts what is new.
    if (document.hidden) setTimeout(now, HIDDEN_MS);
    else requestAnimationFrame(now);
  };
}
