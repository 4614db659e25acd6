"""What an abnormal image of each class looks like, in sentences: the LLM-VQA knowledge base of KAnoCLIP.

Li et al., "KAnoCLIP: Zero-Shot Anomaly Detection through Knowledge-Driven Prompt Learning and Enhanced Cross-Modal
Integration", arXiv 2025, section 2.2.1. For each class: five descriptions of what can be wrong (LLM) and one of what
is right (background); for single images, by content: what is wrong in them (VQA). It guides training alone; no
detector needs it to judge an image.

``base/`` holds one file a data set, written for this project. :mod:`zsad.knowledge.build` extends it through
any chat endpoint.
"""

from zsad.knowledge.lookup import LLM_COUNT, ClassKnowledge, Knowledge, image_key

__all__ = ["LLM_COUNT", "ClassKnowledge", "Knowledge", "image_key"]
