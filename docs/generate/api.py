"""The libraries' pages, from signatures and docstrings as they stand in the source.

Source is read, not imported: a page is the same on every machine, and needs neither torch nor
FAISS.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from docs.generate.docstrings import docstring, headings
from docs.generate.markdown import page, prose

ROOT = Path(__file__).parents[2]
MODULES = {
    "memstore": ("voxels.binvox", "voxels.mesh", "files", "voxels.contact_sheet"),
    "mem3d": (),
}  # public as a whole
WIDE = 88  # characters of a signature on one line

Definition = ast.ClassDef | ast.FunctionDef | ast.Assign | ast.AnnAssign


class Found(NamedTuple):
    """A definition, and where it stands."""

    node: Definition
    module: str
    lines: list[str]  # of the whole file
    after: ast.stmt | None  # the next statement: the docstring of a constant


def api_pages() -> dict[str, str]:
    """The page of each library."""
    return {f"api/{package}.md": page(_blocks(package)) for package in MODULES}


def public_names(package: str) -> dict[str, str]:
    """Name to module, read from the package's list of lazy imports."""
    tree = ast.parse((ROOT / package / "__init__.pyi").read_text())
    return {
        alias.name: f"{package}.{node.module}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def find(name: str, module: str) -> Found:
    """Where a name is defined: in that module, or in the one that it is imported from there."""
    lines, body = _source(module)
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ImportFrom) and name in {one.name for one in node.names}:
            return find(name, str(node.module))
        if isinstance(node, Definition) and name == _name(node):
            return Found(node, module, lines, after)
    raise ValueError(f"{module}: got no {name}, want its definition there")


def _source(module: str) -> tuple[list[str], list[ast.stmt]]:
    path = ROOT / (module.replace(".", "/") + ".py")
    text = (path if path.exists() else path.with_suffix("") / "__init__.py").read_text()
    return text.splitlines(), ast.parse(text).body


def _name(node: ast.stmt) -> str | None:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return node.name
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0])
    return ast.unparse(node.target) if isinstance(node, ast.AnnAssign) else None


def _blocks(package: str) -> Iterator[str]:
    names = public_names(package)
    yield f"# {package}"
    yield "*Made from the docstrings by `python -m docs.generate`.*"
    yield docstring(ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text())))
    listed = sorted(names, key=lambda name: (name.endswith("Error"), name.lower()))
    anchors = [name.lower() for name in listed]
    for i, anchor in enumerate(anchors):  # Diff and diff: the second heading is numbered
        anchors[i] += f"_{anchors[:i].count(anchor)}" if anchor in anchors[:i] else ""
    yield " · ".join(f"[`{n}`](#{a})" for n, a in zip(listed, anchors, strict=True))
    for name in listed:
        yield from _entry(name, find(name, names[name]), "##")
    for module in MODULES[package]:
        yield f"## {package}.{module}"
        _, body = _source(f"{package}.{module}")
        yield docstring(ast.get_docstring(ast.Module(body, [])))
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                found = find(node.name, f"{package}.{module}")
                yield from _entry(f"{module}.{node.name}", found, "###")


def _entry(name: str, found: Found, level: str) -> Iterator[str]:
    node = found.node
    yield f"{level} {name}"
    if isinstance(node, ast.FunctionDef):
        yield _signature(node)
        yield docstring(ast.get_docstring(node))
    elif isinstance(node, ast.ClassDef):
        yield from _class(node, found, level)
    else:
        assert node.value is not None
        yield f"```python\n{name} = {_wrapped(node.value)}\n```"
        yield _constant(found)


def _wrapped(node: ast.expr, indent: str = "") -> str:
    """An expression; one argument a line where a call is long."""
    line = ast.unparse(node)
    if len(indent) + len(line) <= WIDE or not isinstance(node, ast.Call):
        return line
    deeper = indent + "    "
    parts = [_wrapped(one, deeper) for one in node.args]
    parts += [f"{one.arg}={_wrapped(one.value, deeper)}" for one in node.keywords]
    inside = "".join(f"{deeper}{one},\n" for one in parts)
    return f"{ast.unparse(node.func)}(\n{inside}{indent})"


def _constant(found: Found) -> str:
    """The string after it, or the comment beside it."""
    after = found.after
    if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
        return prose(str(after.value.value))
    return prose(_comment(found.lines[found.node.lineno - 1]))


def _comment(line: str) -> str:
    beside = re.search(r"  # (.+)$", line)
    return beside[1] if beside else ""


def _class(node: ast.ClassDef, found: Found, level: str) -> Iterator[str]:
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    init = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
    if init:
        yield _signature(init[0], as_name=node.name)
    elif bases and bases != "NamedTuple":
        yield f"```python\nclass {node.name}({bases})\n```"
    yield docstring(ast.get_docstring(node))
    fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
    if fields and "\nAttributes:" not in (ast.get_docstring(node) or ""):
        yield "**Fields**" + headings(
            (ast.unparse(one), _comment(found.lines[one.lineno - 1])) for one in fields
        )
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and _is_shown(method):
            shown = (
                f"`{node.name}.{method.name}`"
                if "__" in method.name
                else f"{node.name}.{method.name}"
            )
            yield f"{level}# {shown}"
            yield _signature(method)
            yield docstring(ast.get_docstring(method))


def _is_shown(method: ast.FunctionDef) -> bool:
    is_public = not method.name.startswith("_") or method.name in ("__len__", "__contains__")
    return is_public and bool(ast.get_docstring(method))


def _signature(node: ast.FunctionDef, as_name: str | None = None) -> str:
    """As a code block; one argument a line where it is long."""
    decorators = {ast.unparse(one) for one in node.decorator_list}
    returns = f" -> {ast.unparse(node.returns)}" if node.returns and as_name is None else ""
    if "property" in decorators:
        return f"```python\n{node.name}: {returns.removeprefix(' -> ')}  # property\n```"
    parts = _arguments(node)
    name = as_name or node.name
    line = f"{name}({', '.join(parts)}){returns}"
    if len(line) > WIDE:
        line = f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returns}"
    before = "@classmethod\n" if "classmethod" in decorators else ""
    return f"```python\n{before}{line}\n```"


def _arguments(node: ast.FunctionDef) -> list[str]:
    """Each with annotation and default, without self and cls."""
    given = node.args
    positional = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(given.defaults))
    parts = [
        _argument(*pair) for pair in zip(positional, [*defaults, *given.defaults], strict=True)
    ]
    if positional and positional[0].arg in ("self", "cls"):
        parts = parts[1:]
    if given.vararg:
        parts.append(f"*{_argument(given.vararg, None)}")
    elif given.kwonlyargs:
        parts.append("*")
    parts += [_argument(*pair) for pair in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return parts + ([f"**{_argument(given.kwarg, None)}"] if given.kwarg else [])


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    kind = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
    equals = " = " if kind else "="
    return f"{argument.arg}{kind}" + (f"{equals}{ast.unparse(default)}" if default else "")
