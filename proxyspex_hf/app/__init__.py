"""The Gradio app: see an explanation, play with it, make one's own. Needs the extra ``space``."""
