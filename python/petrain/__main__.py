"""``python -m petrain`` does what ``petrain`` does."""

from petrain.cli import main

if __name__ == "__main__":
    main()
