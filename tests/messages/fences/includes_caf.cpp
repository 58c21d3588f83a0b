// Must not compile in a pure room.
#include <caf/all.hpp>
