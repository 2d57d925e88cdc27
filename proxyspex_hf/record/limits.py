"""What an explanation may hold; more is not written either, since it would not be read again.

Conventions: well above what models are asked, and such that whatever is refused costs less than
300 MB and five seconds (``tests/attacks``).
"""

MAX_FEATURES = 20_000
#: Every subset of 18 features, and the members of all of them together.
MAX_COEFFICIENTS = 2**18
MAX_MEMBERS = 3_000_000
MAX_QUERIES = 2_000_000
#: Masks times features: 8 n log2 n masks of 1,700 features, or the default 2 n log2 n of 3,400.
MAX_MASK_CELLS = 2**28
#: Characters of one text, and of all labels together.
MAX_TEXT = 3_000_000
#: Corners of all outlines together.
MAX_CORNERS = 1_000_000
#: Numbers that are counted elsewhere, such as a budget.
MAX_COUNT = 10_000_000
#: Bounds on what a kernel may hold; learnt ones stay far within (:mod:`.core.proxies.kernel`).
MAX_REACH = 100
MAX_KERNEL = 100.0
#: What a model may answer (:mod:`.core.values`): differences of two stay within float64.
MAX_VALUE = 1e306
#: Sizes of all coefficients together: no prediction is larger. An effect of four features is at
#: most 2^4 times that, so that effects, and differences of two, stay within float64.
MAX_SPECTRUM = 5e306
MAX_EFFECT = 2.0**4 * MAX_SPECTRUM
MAX_PNG_BYTES = 32 * 2**20
MAX_EDGE = 100_000
MAX_FILE_BYTES = 64 * 2**20
