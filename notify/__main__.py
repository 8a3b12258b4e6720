"""`python -m notify` is `notify`."""

from notify.cli import main

if __name__ == "__main__":
    main()
