// Must not compile in messages/: dependencies point one way.
#include "storage/env.hpp"
