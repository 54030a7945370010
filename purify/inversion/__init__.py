"""Face images from a recognition network alone, by its gradient and its batch-norm statistics."""
