// drover stress real: a fleet of real processes under every fault that a machine can do to them.
#pragma once

namespace drover::real {

// The program; argv[0] is its name. Exit codes: 0 passed, 1 failed, 2 usage.
int real_main(int argc, char** argv);

}  // namespace drover::real
