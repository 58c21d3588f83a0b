#include "actors/semantics/segmenter.hpp"
#include "actors/semantics/strict_toml.hpp"

namespace drover::semantics {

Result<SegmenterConfig> parse_segmenter_config(std::string_view toml_text, const std::string& file) {
  TomlProblems problems(file);
  SegmenterConfig config;
  DROVER_ASSIGN(const toml::table parsed, parse_toml(toml_text, file));
  TomlTable table(parsed, "", problems);
  table.number("gripper_change_m", config.gripper_change_m, 0.0005, 0.1);
  table.number("gripper_open_m", config.gripper_open_m, 0.001, 0.5);
  table.number("contact_speed_m_per_s", config.contact_speed_m_per_s, 0.001, 10);
  table.number("idle_speed_m_per_s", config.idle_speed_m_per_s, 0.0001, 10);
  table.number("idle_joint_rad_per_s", config.idle_joint_rad_per_s, 0.0001, 10);
  table.number("idle_after_s", config.idle_after_s, 0, 60);
  table.number("spike_N", config.spike_N, 0.1, 10000);
  table.number("spike_s", config.spike_s, 0.001, 10);
  table.number("effort_N", config.effort_N, 0.1, 10000);
  table.number("press_N", config.press_N, 0.1, 10000);
  table.number("slip_m", config.slip_m, 0.0005, 1);
  table.number("lift_m", config.lift_m, 0.0005, 1);
  table.number("tilt_rad", config.tilt_rad, 0.01, 3.2);
  table.number("shift_m", config.shift_m, 0.001, 1);
  table.number("decay_s", config.decay_s, 0, 10);
  table.number("window_s", config.window_s, 0.001, 1);
  table.finish();
  if (config.idle_speed_m_per_s >= config.contact_speed_m_per_s)
    table.problem("idle_speed_m_per_s", "must be below contact_speed_m_per_s");
  DROVER_TRY(problems.status());
  return config;
}

}  // namespace drover::semantics
