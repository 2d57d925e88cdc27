"""Texts that a page must show and never obey."""

from __future__ import annotations

__all__ = ["PAYLOADS"]

PAYLOADS = [
    "<script>window.pwned=1</script>",
    "</script><script>window.pwned=1</script>",
    "</SCRIPT ><script>window.pwned=1</script>",
    "<!--<script>window.pwned=1//-->",
    "--><script>window.pwned=1</script>",
    "]]><script>window.pwned=1</script>",
    "</title><script>window.pwned=1</script>",
    "</style><script>window.pwned=1</script>",
    "</textarea><script>window.pwned=1</script>",
    "</noscript><script>window.pwned=1</script>",
    "</svg><script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "<svg onload=window.pwned=1>",
    "<svg><animate onbegin=window.pwned=1 attributeName=x dur=1s>",
    "<body onload=window.pwned=1>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "<iframe src=javascript:parent.pwned=1></iframe>",
    "<a href=javascript:window.pwned=1 autofocus onfocus=window.pwned=1>x</a>",
    "<base href=https://evil.example/>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<style>@import 'https://evil.example/x.css';</style>",
    "<form action=https://evil.example/><button>x",
    "<object data=https://evil.example/></object>",
    '" onmouseover="window.pwned=1',
    "' onmouseover='window.pwned=1",
    '"><script>window.pwned=1</script>',
    "`${window.pwned=1}` {{window.pwned=1}}",
    "${headline} $script $$ ${",
    "\u2028window.pwned=1\u2029",
    "&lt;script&gt;window.pwned=1&lt;/script&gt; &#60;script&#62;",
    "\x00<scr\x00ipt>window.pwned=1</script>",
]
