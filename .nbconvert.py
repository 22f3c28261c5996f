"""How the notebook becomes a web page: run it, and leave nothing to be fetched."""


def leave_out_progress(notebook, resources):
    """Drop the progress bars, which a page without Python behind it cannot move."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["title"] = "Predictive Convolution"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if WIDGET not in o.get("data", {})]
    return notebook, resources


WIDGET = "application/vnd.jupyter.widget-view+json"

c = get_config()  # noqa: F821 Jupyter provides it
c.NbConvertApp.notebooks = ["predictive_convolution.ipynb"]
c.NbConvertApp.export_format = "html"
c.FilesWriter.build_directory = "output_audio"
c.ExecutePreprocessor.enabled = True
c.ExecutePreprocessor.timeout = None  # long sounds take as long as they take
c.HTMLExporter.preprocessors = [leave_out_progress]
c.HTMLExporter.require_js_url = "data:,"  # used by no cell, and not on this computer
c.HTMLExporter.mathjax_url = "data:,"
c.KernelManager.transport_encryption = "auto"
