"""Code assignments of subspace embeddings: which tokens share which blocks."""

from zoo.embeddings.codes.cluster_codes import ClusterCodes
from zoo.embeddings.codes.pq_codes import PQCodes
from zoo.embeddings.codes.recluster_codes import ReclusterCodes
from zoo.embeddings.codes.sequential_codes import SequentialCodes

__all__ = ["ClusterCodes", "PQCodes", "ReclusterCodes", "SequentialCodes"]
