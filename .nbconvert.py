"""How the notebook becomes a web page: run it, and leave nothing to be fetched."""

from pathlib import Path

from nbconvert.writers import FilesWriter

WIDGET = "application/vnd.jupyter.widget-view+json"


def prepare_page(notebook, resources):
    """Leave out sliders and progress bars, which nobody could move without Python."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["title"] = "Predictive Convolution"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if WIDGET not in o.get("data", {})]
    return notebook, resources


def tell(cell, cell_index):
    """Say in the terminal which section is at work."""
    if cell.cell_type == "markdown":
        for line in cell.source.splitlines():
            if line.startswith("#"):
                print(line.lstrip("# "), flush=True)


def write_whole(writer, output, resources, notebook_name, **others):
    """Write the page under another name first: it is there whole or not at all.

    It lies in output_audio, and its links to sounds start from there.
    """
    page = Path(writer.build_directory, f"{notebook_name}.html")
    part = page.with_name(f".{page.name}")
    try:
        output = output.replace('href="output_audio/', 'href="')
        part.write_text(output, encoding="utf-8")
        part.replace(page)
    finally:
        part.unlink(missing_ok=True)


FilesWriter.write = write_whole  # nbconvert finds no writer that is defined here

c = get_config()  # noqa: F821 Jupyter provides it
c.NbConvertApp.notebooks = ["predictive_convolution.ipynb"]
c.NbConvertApp.export_format = "html"
c.NbConvertApp.log_level = "ERROR"  # pictures have words above them, and no others
c.FilesWriter.build_directory = "output_audio"
c.ExecutePreprocessor.enabled = True
c.ExecutePreprocessor.on_cell_start = tell
c.ExecutePreprocessor.timeout = None  # long sounds take as long as they take
c.HTMLExporter.preprocessors = [prepare_page]
c.HTMLExporter.require_js_url = "data:,"  # used by no cell, and not on this computer
c.HTMLExporter.mathjax_url = "data:,"
c.KernelManager.transport_encryption = "auto"
