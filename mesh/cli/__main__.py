"""`python -m mesh.cli` is `meshnode`."""

from mesh.cli.main import main

if __name__ == "__main__":
    main()
