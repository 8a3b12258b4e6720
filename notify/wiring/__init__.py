"""What a node is made of, constructed and wired, a file for each storey. `notify.app` puts them together."""
