"""The evidence machinery: problems × implementations × budgets × samplings × seeds -> rows of JSON.

``problems`` are masks with values (value tables of real models, synthetic functions);
``implementations`` turn masks and values into a spectrum; ``measure`` scores one on the other;
``cache`` keeps what the public implementations gave; ``report`` makes Markdown of the rows.
"""
