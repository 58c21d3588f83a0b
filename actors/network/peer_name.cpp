#include "actors/network/peer_name.hpp"

#include <array>
#include <cstdio>

namespace drover::network {

namespace {
constexpr std::array<std::string_view, 6> role_names = {"unknown", "robot",    "coordinator",
                                                        "trainer", "operator", "gateway"};
constexpr std::array<std::string_view, 6> call_names = {"append", "wants", "chunk", "knowledge", "ping", "query"};
}  // namespace

std::string_view role_name(Role role) noexcept {
  const auto index = static_cast<size_t>(role);
  return index < role_names.size() ? role_names[index] : role_names[0];
}

Role role_from_name(std::string_view text) noexcept {
  for (size_t i = 1; i < role_names.size(); ++i)
    if (role_names[i] == text) return static_cast<Role>(i);
  return Role::unknown;
}

bool valid_node_id(std::string_view text) noexcept {
  if (text.empty() || text.size() > 64) return false;
  for (const char c : text) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    if (!ok) return false;
  }
  return true;
}

std::string PeerName::text() const {
  return std::string(role_name(role)) + "/" + node_id;
}

Result<PeerName> parse_common_name(std::string_view common_name) {
  const auto refuse = [&](const char* what) {
    return fail(Errc::invalid_argument, "certificate common name \"" + printable(common_name) + "\"", what);
  };
  const auto slash = common_name.find('/');
  if (slash == std::string_view::npos) return refuse("is not role/node-id, for example robot/robot-07");
  const Role role = role_from_name(common_name.substr(0, slash));
  if (role == Role::unknown) return refuse("names no role: use robot, coordinator, trainer, operator or gateway");
  const auto node_id = common_name.substr(slash + 1);
  if (!valid_node_id(node_id)) return refuse("has a node id that is not [a-z0-9._-]{1,64}");
  return PeerName{role, std::string(node_id)};
}

std::string_view session_call_name(SessionCall call) noexcept {
  const auto index = static_cast<size_t>(call);
  return index < call_names.size() ? call_names[index] : "unknown";
}

bool may_call(Role role, SessionCall call) noexcept {
  switch (role) {
    case Role::robot:
    case Role::gateway:
      return call != SessionCall::query;
    case Role::trainer:
      return call == SessionCall::knowledge || call == SessionCall::ping || call == SessionCall::query;
    case Role::operator_:
      return call == SessionCall::ping || call == SessionCall::query;
    default:
      return false;
  }
}

std::string printable(std::string_view text, size_t chars_max) {
  std::string out;
  for (const char c : text) {
    if (out.size() >= chars_max) return out + "...";
    if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
      out += c;
    } else {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += escaped;
    }
  }
  return out;
}

}  // namespace drover::network
