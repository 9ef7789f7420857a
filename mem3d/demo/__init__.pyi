from .memory_view import Reference as Reference
from .memory_view import page as page
from .reconstruct_view import PhotoResult as PhotoResult
from .reconstruct_view import reconstruct_corrected as reconstruct_corrected
from .reconstruct_view import reconstruct_upload as reconstruct_upload
from .reconstruct_view import write_files as write_files
from .sessions import VisitorMemories as VisitorMemories
