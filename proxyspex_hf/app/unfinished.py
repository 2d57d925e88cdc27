"""What Gradio holds for a page: handlers that wait, answers that nobody fetched, its state.

The only place that looks into Gradio's queue (as of 6.31), which forgets none of it by itself where
a client joins and never listens.
"""

from __future__ import annotations

import gradio as gr


def unanswered(demo: gr.Blocks, page: str) -> int:
    """Handlers of a page that wait or run, or whose answers it has not fetched."""
    return len(demo._queue.pending_event_ids_session.get(page, ()))


async def drop_handlers(demo: gr.Blocks, page: str) -> None:
    """Let nothing wait for a page that is gone."""
    queue = demo._queue
    await queue.clean_events(session_hash=page)
    queue.pending_event_ids_session.pop(page, None)
    if page in queue.pending_messages_per_session:
        del queue.pending_messages_per_session[page]


def drop_state(demo: gr.Blocks, page: str) -> None:
    """Forget what a page showed."""
    holder = demo.state_holder
    holder.delete_state(page)
    with holder.lock:
        holder.session_data.pop(page, None)
        holder.time_last_used.pop(page, None)
