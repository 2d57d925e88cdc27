"""The page: four tabs around one picture."""

from __future__ import annotations

import math

import gradio as gr

from proxyspex_hf.app.address import open_link
from proxyspex_hf.app.compare_tab import BESIDE, Beside, before_button
from proxyspex_hf.app.components import notice, viewer
from proxyspex_hf.app.explain_tab import run_the_form
from proxyspex_hf.app.explore_tab import answer_the_picture, compare_with_before, examples
from proxyspex_hf.app.folders import Folders
from proxyspex_hf.app.form import form
from proxyspex_hf.app.house import House
from proxyspex_hf.app.hub_tab import shelf
from proxyspex_hf.app.session import Session
from proxyspex_hf.app.settings import Settings
from proxyspex_hf.app.state import EXPLORE, HUB, OWN_TAB, Runs, Shared, value_of

TITLE = "Which combinations of the input made the model say that?"
_HEADING = f"""\
# {TITLE}
Often it is parts together, not one by one: *not* with *bad*, *guitar* with the patch that shows
it. ProxySPEX finds them. Take words out below, and see what the answer would be.
"""


def build(settings: Settings, folders: Folders, house: House | None = None) -> gr.Blocks:
    """The app, not yet running.

    Args:
        settings: what it allows.
        folders: where the open pages keep their answers.
        house: what the open pages share, beside the folders; default a new one.
    """
    house = house or House.of(settings, folders)

    # Gradio counts from when the session was last set, which a run does at its start.
    kept = math.ceil(settings.limits.seconds + folders.kept)

    def gone(_session: Session) -> None:
        folders.sweep()

    demo: gr.Blocks
    with gr.Blocks(
        title=f"ProxySPEX: {TITLE}",
        analytics_enabled=False,
        delete_cache=(3600, kept),
        fill_width=True,
    ) as demo:
        session = gr.State(Session(), time_to_live=kept, delete_callback=gone)
        gr.Markdown(_HEADING, elem_id="heading")
        with gr.Tabs(selected=EXPLORE) as tabs:
            with gr.Tab("Explore", id=EXPLORE):
                buttons = examples()
                news = notice("news")
                before = before_button()
                view = viewer(value_of(Session(), settings))
            beside = Beside()
            shared = Shared(
                *(settings, house, Runs.of(settings), session, view, tabs, news),
                before=before,
                beside=beside,
            )
            with gr.Tab("Explain your own", id=OWN_TAB):
                own = form(settings)
            with gr.Tab("From the Hub", id=HUB):
                hub = shelf(shared)
            with gr.Tab("Compare", id=BESIDE):
                beside.lay_out()
        answer_the_picture(shared, buttons)
        run_the_form(shared, own)
        open_link(shared, hub, demo)
        compare_with_before(shared)
    return demo
