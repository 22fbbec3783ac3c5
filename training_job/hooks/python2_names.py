"""Recognizes exceptions that a script for Python 2 ends with on Python 3, so that the job's reason says so.

What Python 3 cannot compile is refused before a job is submitted; these names compile.
"""

_BUILTINS = frozenset(
    {"xrange", "raw_input", "unicode", "unichr", "long", "basestring", "file", "execfile", "reduce", "reload", "cmp"}
    | {"apply", "buffer", "coerce", "intern"}
)
_MODULES = frozenset(
    {"cPickle", "cStringIO", "StringIO", "ConfigParser", "Queue", "urllib2", "urlparse", "httplib", "cookielib"}
    | {"commands", "Tkinter", "SocketServer", "HTMLParser", "thread", "copy_reg", "sets", "exceptions", "__builtin__"}
)
_ATTRIBUTES = frozenset(
    {"iteritems", "itervalues", "iterkeys", "has_key", "izip", "izip_longest", "imap", "maxint", "getcwdu", "urlopen"}
    | {"urlretrieve", "urlencode", "maketrans"}
)
"""Of dictionaries, and of modules."""


def hint(error: BaseException) -> str | None:
    """Return what is Python 2 about an exception, or None."""
    match error:
        case NameError():
            name, known = error.name, _BUILTINS
        case ModuleNotFoundError():
            name, known = error.name, _MODULES
        case ImportError():
            name, known = error.name_from, _ATTRIBUTES
        case AttributeError():
            name, known = error.name, _ATTRIBUTES
        case _:
            return None
    return f"{name} is Python 2: convert the script, for example with fissix" if name in known else None
