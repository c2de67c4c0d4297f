"""Callbacks: a URL that an upload names is told, once, that its batch is finished.

    request --asking--> Callback --keeper--> note in the store          before anything is queued
    results --hub--> keeper --delivery (payload, signing, sender)--> receiver --keeper--> no note

The note is the truth: whoever holds it sends, and it is gone once that was heard, or given up.
"""
