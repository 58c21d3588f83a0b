// drover stress selftest: are the testers any good? Bugs are switched on one by one and must be found.
#pragma once

namespace drover::simulate {

// The program; argv[0] is its name. Exit codes: 0 each bug was found and sound code passed, 1 not so, 2 usage.
int selftest_main(int argc, char** argv);

}  // namespace drover::simulate
