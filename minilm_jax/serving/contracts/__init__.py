"""The HTTP interfaces of OpenAI, text-embeddings-inference, Jina and Cohere."""
