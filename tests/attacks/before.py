"""What came of the same attacks in 0.1.0, as measured there by hand, by name of the attack."""

from __future__ import annotations

BEFORE = {
    "a card's metadata": "lost behind a blank line, a space or a byte order mark",
    "kill -9 in the middle": "20 of 20 resumed with the same bits",
    "a damaged cache": "5 of 6 gave other last digits",
    "a model that fails": "some wordings of no memory halved; other errors lost their batch",
    "huge and tiny values": "some were computed and could not be saved",
    "one client takes all places": "it had all 100 places; a second person was refused",
    "many browsers of one client": "no limit",
    "places of pages that are gone": "runs of closed pages stayed in the queue for 12 minutes",
    "flood of events": "no limit",
    "mutated files": "not tried",
    "JSON files": "surrogates, null bytes and integers of 4,300 digits ended in foreign errors",
    "small files of large rows": "1.4 to 5.4 GB, up to 79 s",
    "listings without end": "stopped at 90 s",
    "forged Host": "every Host was answered",
    "rebound page": "a private data set was listed, opened and pushed to a public one",
    "requests from other sites": "answered, uploads too",
    "no pass, or a forged one": "there was none",
    "files that fill the disk": "60 files of 5 MB without a page: 299 MB stayed",
    "odd uploads": "taken from any site",
    "files that were used": "stayed",
    "what a crash leaves": "stayed",
}
