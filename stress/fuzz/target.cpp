#include "stress/fuzz/target.hpp"

#include <cstdlib>
#include <fstream>
#include <iterator>

namespace drover::fuzz {

std::span<const Target> targets() {
  static const std::vector<Target> all = [] {
    std::vector<Target> out;
    for (const auto& share : {record_targets(), log_targets(), text_targets(), node_targets()})
      out.insert(out.end(), share.begin(), share.end());
    return out;
  }();
  return all;
}

const Target* find_target(std::string_view name) {
  for (const Target& target : targets())
    if (target.name == name) return &target;
  return nullptr;
}

std::string configs_folder() {
  return DROVER_CONFIGS_DIR;
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace drover::fuzz
