// drover stress soak: a fleet of real processes under load for as long as asked; fails on growth.
#pragma once

namespace drover::soak {

// The program; argv[0] is its name. Exit codes: 0 passed, 1 failed, 2 usage.
int soak_main(int argc, char** argv);

}  // namespace drover::soak
