"""Names by content: two records that say the same have the same id, wherever they were made."""

from schemas.canonical import canonical_json, content_id

__all__ = ["canonical_json", "content_id"]
