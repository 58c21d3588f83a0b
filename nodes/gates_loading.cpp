#include "nodes/gates_loading.hpp"

#include <filesystem>

namespace drover::nodes {

Result<std::shared_ptr<const gates::Gates>> load_gates(const GatesConfig& config, const runtime::Environment& env) {
  DROVER_ASSIGN(auto gates, gates::Gates::load(config.dir, config.manifest_sha256));
  env.log(runtime::LogLevel::info, "gates.loaded dir=" + runtime::log_value(config.dir) + " id=" + gates->id() +
                                       " trust_threshold=" + std::to_string(gates->trust_net().threshold()) +
                                       " nets=" + std::to_string(gates->trust_net().nets().size()) +
                                       " synthetic_target=" + std::to_string(gates->budget().target_share) +
                                       " synthetic_cap=" + std::to_string(gates->budget().cap_share));
  return gates;
}

Result<std::shared_ptr<const gates::Gates>> load_gates_if_there(const GatesConfig& config,
                                                                const runtime::Environment& env) {
  std::error_code failed;
  if (config.manifest_sha256.empty() && (config.dir.empty() || !std::filesystem::exists(config.dir, failed))) {
    env.log(runtime::LogLevel::warn,
            "gates.none dir=" + runtime::log_value(config.dir) + " effect=\"nothing is weighed or verified here\"");
    return std::shared_ptr<const gates::Gates>();
  }
  return load_gates(config, env);
}

}  // namespace drover::nodes
