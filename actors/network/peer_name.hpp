// Who a node is, and what that lets it do. The name comes from the certificate's common name
// ("robot/robot-07") and from nothing else; what a peer says about itself must only agree with it.
//
// Invariant: a PeerName made by parse_common_name() has a known role and a valid node id.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "messages/result.hpp"

namespace drover::network {

// Values are those of schema/session.capnp.
enum class Role : uint8_t { unknown = 0, robot = 1, coordinator = 2, trainer = 3, operator_ = 4, gateway = 5 };

// "robot", "coordinator", "trainer", "operator", "gateway"; "unknown" for the rest.
std::string_view role_name(Role role) noexcept;
Role role_from_name(std::string_view text) noexcept;

// A node id is [a-z0-9._-]{1,64}. Anything else is refused before it reaches a log or a path.
bool valid_node_id(std::string_view text) noexcept;

struct PeerName {
  Role role = Role::unknown;
  std::string node_id{};

  // "robot/robot-07": the form in certificates, logs and errors.
  std::string text() const;
  friend bool operator==(const PeerName&, const PeerName&) = default;
};

// Parses "role/node-id". Errors: invalid_argument, with hostile bytes escaped in the text.
Result<PeerName> parse_common_name(std::string_view common_name);

// The calls of interface Session, for the role rules and for naming them in errors.
enum class SessionCall : uint8_t { append, wants, chunk, knowledge, ping, query };
std::string_view session_call_name(SessionCall call) noexcept;

// Robots and gateways: append, wants, chunk, knowledge, ping. Trainers: knowledge, ping, query.
// Operators: ping, query. Coordinators and unknown roles: nothing.
bool may_call(Role role, SessionCall call) noexcept;

// Printable, bounded form of outside text for logs and errors: other bytes become \xNN, long text is cut.
std::string printable(std::string_view text, size_t chars_max = 80);

}  // namespace drover::network
