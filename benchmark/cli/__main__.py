"""`python -m knowncircuits.cli`."""

from knowncircuits.cli.app import main

if __name__ == "__main__":
    main()
