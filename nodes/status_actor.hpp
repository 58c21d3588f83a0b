// The status actor: writes what the coordinator knows about its fleet to a JSON file now and then, for
// `drover fleet status` and for scripts. The file is replaced atomically, so a reader never sees half of it.
//
// Out:   AskSessions, AskInbox, AskCentral. Supervision: permanent; it keeps nothing.
#pragma once

#include <caf/actor.hpp>
#include <string>

#include "actors/runtime/environment.hpp"
#include "nodes/config/coordinator_config.hpp"

namespace drover::nodes {

caf::actor spawn_status(runtime::Environment& env, std::string node_id, StatusConfig config, runtime::Ref sessions,
                        runtime::Ref inbox, runtime::Ref centre);

}  // namespace drover::nodes
