#include "nodes/config/common_config.hpp"

#include <charconv>

namespace drover::nodes {

void describe(Fields& fields, IdentityConfig& config, const std::string& example) {
  fields.section("node", "Who this node is.");
  fields.text("id", config.id, "Name of this node in the fleet. It must be the one in its certificate (drover enroll).")
      .required(quote_toml(example))
      .check(check_node_id);
  fields.number("seed", config.seed, {.min = 0}, "",
                "Root of every random choice (backoff jitter and the like), so that a run can be repeated. 0 draws one "
                "at start and logs it.");
}

void describe(Fields& fields, TlsConfig& config) {
  fields.section("tls", "Certificates in PEM form, as drover enroll writes them.");
  fields.path("ca_file", config.ca_file, "Certificate of the authority that signed every node of the fleet.");
  fields.path("cert_file", config.cert_file, "Certificate of this node; its common name is role/node-id.");
  fields.path("key_file", config.key_file, "Private key of this node; keep it at mode 0600.");
}

void describe(Fields& fields, GatesConfig& config, const std::string& purpose) {
  fields.section("gates", "Frozen files that say how much a record is trusted and weighs. Never written by Drover.");
  fields.path("dir", config.dir,
              "Folder of manifest.toml and the files whose SHA-256 it records (configs/gates). " + purpose);
  fields
      .text("manifest_sha256", config.manifest_sha256,
            "SHA-256 that manifest.toml must have (drover gates show prints it). Empty: any manifest is believed.")
      .check([](const std::string& text) {
        const bool hex = text.find_first_not_of("0123456789abcdef") == std::string::npos;
        return text.empty() || (text.size() == 64 && hex) ? "" : "must be 64 lower-case hex digits, or empty";
      });
}

void describe(Fields& fields, LogConfig& config) {
  using Format = LogConfig::Format;
  using Level = LogConfig::Level;
  fields.section("log", "Structured events on stderr, one line per fact.");
  fields.choice<Format>("format", config.format, {{"text", Format::text}, {"json", Format::json}},
                        "Form of a line: text is \"time level module.event key=value\", json is one object per line.");
  fields.choice<Level>("level", config.level,
                       {{"debug", Level::debug}, {"info", Level::info}, {"warn", Level::warn}, {"error", Level::error}},
                       "Least level that is written. error means that a human must act.");
}

void describe(Fields& fields, ServiceConfig& config) {
  fields.section("service", "How the daemon behaves under a service manager.");
  fields.duration_ms("stop_deadline_ms", config.stop_deadline_ms, {.min = 100, .max = 600'000},
                     "Time for a clean stop after SIGTERM or SIGINT; after it the process ends hard. Nothing "
                     "acknowledged is lost either way. Keep it below TimeoutStopSec of the unit.");
  fields.duration_ms("status_period_ms", config.status_period_ms, {.min = 100, .max = 3'600'000},
                     "How often the one-line status goes to the service manager (systemctl status shows it).");
}

std::string check_address(const std::string& text, bool port_zero_allowed) {
  const std::string form = "write it as host:port, for example \"127.0.0.1:7447\" or \"[::1]:7447\"";
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return "is " + quote_toml(text) + "; " + form;
  const std::string host = text.substr(0, colon);
  const bool v6 = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (!v6 && host.find_first_of(":[] \t/") != std::string::npos) return "is " + quote_toml(text) + "; " + form;
  uint32_t port = 0;
  const char* end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data() + colon + 1, end, port);
  if (error != std::errc{} || last != end || port > 65535 || (port == 0 && !port_zero_allowed)) {
    return "is " + quote_toml(text) + ": the port must be " + (port_zero_allowed ? "0" : "1") + " .. 65535";
  }
  return "";
}

std::string check_node_id(const std::string& text) {
  bool good = !text.empty() && text.size() <= 64;
  for (const char c : text) {
    good = good && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-');
  }
  return good ? "" : "is " + quote_toml(text.substr(0, 80)) + ", allowed is 1 to 64 of a-z 0-9 . _ -";
}

}  // namespace drover::nodes
