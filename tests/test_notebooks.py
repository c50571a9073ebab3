import ast
import os
import pathlib
import warnings

import pytest

COLAB = pathlib.Path(__file__).parents[1] / "colab"
NOTEBOOKS = sorted(COLAB.glob("*.ipynb"))


def read(path):
  with warnings.catch_warnings():
    # Importing it loads jsonschema and ipykernel parts that deprecate.
    warnings.simplefilter("ignore", DeprecationWarning)
    import nbformat
  return nbformat.read(path, as_version=4)


def sources(notebook):
  """Code cells without IPython's own lines."""
  for cell in notebook.cells:
    if cell.cell_type == "code":
      lines = cell.source.splitlines()
      kept = [line for line in lines if not line.lstrip().startswith("%")]
      yield cell, "\n".join(kept)


def test_there_are_notebooks():
  assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stores_no_outputs_and_defines_nothing(path):
  for cell, source in sources(read(path)):
    assert not cell.outputs and cell.execution_count is None
    tree = ast.parse(source)
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    assert not any(isinstance(node, defined) for node in ast.walk(tree))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path, tmp_path, monkeypatch):
  # The kernel is a child: it inherits JAX_PLATFORMS and the compilation cache.
  assert os.environ["JAX_PLATFORMS"] and os.environ["JAX_COMPILATION_CACHE_DIR"]
  monkeypatch.setenv("JAXCLS_SMOKE", "1")
  monkeypatch.setenv("TMPDIR", str(tmp_path))
  notebook = read(path)
  with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import nbclient
  client = nbclient.NotebookClient(
    notebook,
    timeout=300,
    kernel_name="python3",
    resources={"metadata": {"path": str(tmp_path)}},
  )
  client.execute()
  outputs = [out for cell, _ in sources(notebook) for out in cell.outputs]
  assert all(out.output_type != "error" for out in outputs)
  figures = [out for out in outputs if "image/png" in out.get("data", {})]
  assert len(figures) >= 3
