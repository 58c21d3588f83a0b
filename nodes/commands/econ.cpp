// drover econ: what datapacks are worth and who is owed what. This file lists the parts.
#include "nodes/commands/econ.hpp"

namespace drover::nodes {

int econ_command(const Arguments& arguments) {
  CLI::App app("What datapacks are worth and who is owed what.", "drover econ");
  app.footer(
      "Examples:\n"
      "  drover econ reconcile --store central\n"
      "  drover econ ledger balances --store central\n"
      "  drover econ ledger list --store central --account customer/plant-a\n"
      "  drover econ ledger verify --store central\n"
      "  drover econ study --world configs/worlds/drawer_vase --store study && drover econ report --store study --out "
      ".\n");
  app.require_subcommand(1);
  const EconPart parts[] = {
      add_econ_ledger(app),    add_econ_market(app), add_econ_quote(app),
      add_econ_reconcile(app), add_econ_report(app), add_econ_study(app),
  };
  if (const auto code = parse_arguments(app, arguments)) return *code;
  for (const EconPart& part : parts)
    if (const auto code = part()) return *code;
  return exit_usage;
}

}  // namespace drover::nodes
