// Must not compile in semantics/: advice may not know what anything is worth.
#include "actors/econ/objective.hpp"
