"""Which first-party files a stage's code consists of: what `dvc.yaml` must name for DVC to see every change.

`python -m flows.closure` writes the lists into `dvc.yaml` (`make deps`); a test refuses a list that is not exact.
Imports inside functions count; imports by computed name do not exist here.
"""

import ast
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

PACKAGES = ("flows", "evaluation", "worldmodel")


def code_closure(root: Path, module: str) -> list[str]:
    """Paths, relative to `root`, of a module, every first-party module that it imports, and the files these read."""
    found: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        path = _file_of(root, name)
        if path is None or (relative := path.relative_to(root).as_posix()) in found:
            continue
        found |= {relative, *(file.relative_to(root).as_posix() for file in _read_by(path))}
        todo += _imports(path, name)
        todo += [name.rsplit(".", n)[0] for n in range(1, name.count(".") + 1)]  # its packages run first
    return sorted(path for path in found if (root / path).stat().st_size)  # an empty __init__ says nothing


def _file_of(root: Path, module: str) -> Path | None:
    path = root.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _read_by(module: Path) -> Iterator[Path]:
    """Files that are code too: of the module's own name (`published.yaml`), and a package's templates."""
    if module.name == "__init__.py":
        yield from (module.parent / "templates").glob("*")
    else:
        yield from (file for file in module.parent.glob(f"{module.stem}.*") if file != module)


def _imports(path: Path, module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in PACKAGES)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path}: relative import; write the whole name of the module")
            if (node.module or "").split(".")[0] in PACKAGES:
                yield str(node.module)
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def with_code_deps(root: Path, text: str) -> str:
    """The text of `dvc.yaml` with every stage's code deps exact; data deps stay as they are."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 200
    yaml.indent(mapping=2, sequence=4, offset=2)
    document = yaml.load(text)
    for name, stage in document["stages"].items():
        data = [dep for dep in stage["deps"] if dep.split("/")[0] not in PACKAGES]
        stage["deps"] = data + code_closure(root, f"flows.stages.{name}")
    stream = StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


if __name__ == "__main__":
    pipeline = Path("dvc.yaml")
    pipeline.write_text(with_code_deps(Path.cwd(), pipeline.read_text()))
