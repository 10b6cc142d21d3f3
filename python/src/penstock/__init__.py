"""Look-ups, training tables and explanations from a Penstock server.

    >>> from penstock import Client
    >>> client = Client("http://localhost:8080")
    >>> client.features({"user_id": "ada"}, view="user_spend").rows[0]
"""

from penstock._client import Client, Vectors
from penstock._http import NotReady, PenstockError

__version__ = "0.1.0"

__all__ = ["Client", "NotReady", "PenstockError", "Vectors", "__version__"]
