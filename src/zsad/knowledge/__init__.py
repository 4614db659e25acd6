"""Descriptions of the anomalies of each class: the LLM-VQA knowledge base of KAnoCLIP.

Li et al., "KAnoCLIP: Zero-Shot Anomaly Detection through Knowledge-Driven Prompt Learning and Enhanced Cross-Modal
Integration", arXiv 2025, section 2.2.1. For each class: five descriptions of anomalies (LLM) and one of the normal
appearance (background); for single images, by content hash: descriptions of their anomaly (VQA). It is used in training
only; a trained detector does not need it.

``base/`` holds one file per data set, written for this project. :mod:`zsad.knowledge.build` extends it through
any chat endpoint.
"""

from zsad.knowledge.lookup import LLM_COUNT, ClassKnowledge, Knowledge, image_key

__all__ = ["LLM_COUNT", "ClassKnowledge", "Knowledge", "image_key"]
