// What the reference shows and how. It asks nobody but this node: no fonts, no proxy, no telemetry from elsewhere.
Scalar.createApiReference("#reference", {
  sources: [
    { title: "HTTP API", slug: "http", url: "openapi.json", default: true },
    { title: "Events", slug: "events", url: "asyncapi.json" },
  ],
  proxyUrl: "",
  telemetry: false,
  withDefaultFonts: false,
  agent: { disabled: true },
  mcp: { disabled: true },
  showDeveloperTools: "never",
  hideClientButton: true,
  // The document brings its own, in the words of this project.
  hiddenClients: true,
  documentDownloadType: "json",
  persistAuth: false,
  hideModels: true,
  defaultOpenAllTags: true,
});
