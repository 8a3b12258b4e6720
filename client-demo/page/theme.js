import { el } from "./element.js";

const KEY = "notify-demo-theme";
const CHOICES = ["auto", "light", "dark"];

/** Light, dark, or as the system says; remembered. */
export function theme(root) {
  const apply = (choice) => {
    document.documentElement.dataset.theme = choice;
    remember(choice);
  };
  const chosen = remembered();
  document.documentElement.dataset.theme = chosen;
  root.replaceChildren(el("label", { class: "unheard", for: "theme-choice" }, "Colours"),
    el("select", { id: "theme-choice", on: { change: (event) => apply(event.target.value) } },
      ...CHOICES.map((choice) =>
        el("option", { value: choice, selected: choice === chosen }, choice === "auto" ? "Auto" : choice === "light" ? "Light" : "Dark"))));
}

function remembered() {
  try {
    const choice = localStorage.getItem(KEY);
    return CHOICES.includes(choice) ? choice : "auto";
  } catch {
    return "auto"; // storage may be switched off
  }
}

function remember(choice) {
  try {
    localStorage.setItem(KEY, choice);
  } catch {
    // storage may be switched off: the choice lasts as long as the page
  }
}
