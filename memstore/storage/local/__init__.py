"""What only a memory in a folder needs: syncs, and the lock of its writer."""
