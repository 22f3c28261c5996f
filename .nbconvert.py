"""How the notebook becomes a web page: run it, and leave nothing to be fetched."""

import html
import re
import sys
from pathlib import Path

from nbconvert.writers import FilesWriter


def prepare_page(notebook, resources):
    """Make outputs fit for a page that lies in output_audio, without Python behind it.

    Progress bars, which nobody could move, are left out, and of sliders there is only a
    picture; links to sounds start from the page's folder; and each picture is described
    by the words above it.
    """
    widgets = notebook.metadata.pop("widgets", {}).get(WIDGET_STATE, {"state": {}})
    notebook.metadata["title"] = "Predictive Convolution"
    words = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            words = re.sub(r"[*#`<>\n]+", " ", cell.source).strip()[:200]
            continue
        for output in cell.get("outputs", []):
            model = output.get("data", {}).get(WIDGET, {}).get("model_id")
            if model:
                output.data = {"text/html": still(widgets["state"], model)}
        for output in cell.outputs:
            data = output.get("data", {})
            if "text/html" in data:
                data["text/html"] = move_links(data["text/html"])
            if "image/png" in data:
                width = output.metadata["image/png"]["width"]
                output.data = {"text/html": picture(data["image/png"], width, words)}
    return notebook, resources


def still(models, model):
    """Draw sliders as they stand; of other widgets nothing is left."""
    if model not in models:  # a browser that saves a notebook may leave them out
        return ""
    children = models[model]["state"].get("children", [])
    children = [models[child.removeprefix("IPY_MODEL_")] for child in children]
    sliders = [m["state"] for m in children if m["model_name"] == "FloatSliderModel"]
    rows = [
        f'{html.escape(slider["description"])} <input type="range" disabled '
        f'min="{slider["min"]}" max="{slider["max"]}" step="any" '
        f'value="{slider["value"]}"> {slider["value"]:.2f}<br>'
        for slider in sliders
    ]
    return "".join(rows)


def tell(cell, cell_index):
    """Say in the terminal which section is at work."""
    if cell.cell_type == "markdown" and cell.source.startswith("#"):
        print(cell.source.splitlines()[0].lstrip("# "), flush=True)


def picture(png, width, words):
    """Give a picture its description; it shrinks with the window, on white paper."""
    style = f"width:{width}px;max-width:100%;background:white"
    source = f"data:image/png;base64,{png.strip()}"
    return f'<img style="{style}" alt="{html.escape(words)}" src="{source}">'


def move_links(page):
    """Turn links that start from the notebook's folder into links from output_audio."""
    page = re.sub(r'((?:src|href)=")output_audio/', r"\1", page)
    return re.sub(r'((?:src|href)=")input_audio/', r"\1../input_audio/", page)


def write_whole(writer, output, resources, notebook_name, **others):
    """Write a page under another name first: it is there whole or not at all."""
    page = Path(writer.build_directory, notebook_name + resources["output_extension"])
    part = page.with_name(f".{page.name}.part")  # left by a kill, the next clears it
    writer.log.info("Writing %s", page)
    try:
        part.write_text(output, encoding="utf-8")
        part.replace(page)
    except OSError as error:
        part.unlink(missing_ok=True)
        sys.exit(f"{page} cannot be written ({error.strerror}): free some space.")
    return page


FilesWriter.write = write_whole  # nbconvert finds no writer that is defined here

WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"

c = get_config()  # noqa: F821 Jupyter provides it
c.NbConvertApp.notebooks = ["predictive_convolution.ipynb"]
c.NbConvertApp.export_format = "html"
c.FilesWriter.build_directory = "output_audio"
c.ExecutePreprocessor.enabled = True
c.ExecutePreprocessor.on_cell_start = tell
c.ExecutePreprocessor.timeout = None  # long sounds take as long as they take
c.HTMLExporter.preprocessors = [prepare_page]
c.HTMLExporter.require_js_url = "data:,"  # used by no cell, and not on this computer
c.HTMLExporter.mathjax_url = "data:,"
c.KernelManager.transport_encryption = "auto"
