"""Token embeddings: ids to vectors, and the output side that a tied head uses."""

from zoo.embeddings.chained_subspace_embedding import ChainedSubspaceEmbedding
from zoo.embeddings.full_embedding import FullEmbedding
from zoo.embeddings.subspace_embedding import SubspaceEmbedding
from zoo.embeddings.tied_embedding import TiedEmbedding

__all__ = ["ChainedSubspaceEmbedding", "FullEmbedding", "SubspaceEmbedding", "TiedEmbedding"]
