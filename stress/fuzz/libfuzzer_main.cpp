// drover-fuzz: every target in one libFuzzer program. The environment variable DROVER_FUZZ_TARGET chooses one;
// `drover-fuzz --list` prints them all: name, longest input, dictionary, what it is. `--write-seeds DIR` writes the
// good inputs that they start from, one folder each.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "stress/fuzz/target.hpp"

namespace {

const drover::fuzz::Target* chosen = nullptr;

[[noreturn]] void list() {
  for (const auto& t : drover::fuzz::targets())
    std::printf("%s %u %s %s\n", std::string(t.name).c_str(), t.input_bytes_max,
                t.dictionary.empty() ? "-" : std::string(t.dictionary).c_str(), std::string(t.about).c_str());
  std::exit(0);
}

[[noreturn]] void write_seeds(const std::string& folder) {
  for (const auto& t : drover::fuzz::targets()) {
    const auto into = std::filesystem::path(folder) / t.name;
    std::filesystem::create_directories(into);
    int n = 0;
    for (const std::string& seed : t.seeds != nullptr ? t.seeds() : drover::fuzz::Seeds())
      std::ofstream(into / ("seed-" + std::to_string(n++)), std::ios::binary) << seed.substr(0, t.input_bytes_max);
  }
  std::exit(0);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc > 1 && std::strcmp((*argv)[1], "--list") == 0) list();
  if (*argc > 2 && std::strcmp((*argv)[1], "--write-seeds") == 0) write_seeds((*argv)[2]);
  const char* name = std::getenv("DROVER_FUZZ_TARGET");
  chosen = name == nullptr ? nullptr : drover::fuzz::find_target(name);
  if (chosen != nullptr) return 0;
  std::fprintf(stderr, "DROVER_FUZZ_TARGET must name a target; drover-fuzz --list shows them\n");
  std::exit(2);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size <= chosen->input_bytes_max) chosen->run({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
