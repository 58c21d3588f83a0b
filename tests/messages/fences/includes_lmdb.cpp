// Must not compile outside storage/.
#include <lmdb.h>
