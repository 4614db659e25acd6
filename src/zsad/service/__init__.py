"""``zsad serve``: detectors over HTTP, and a page for people.

connection ──► protocol ──► app ──► forms ──► queue ──► worker ──► answers
               timeouts     checks   limits    bounded   one thread  JSON

Needs the extra ``serve``. Limits, errors and measurements: ``docs/service.md``.
"""
