/* The launcher's list of databases. */
#include "pg/headers.hpp"

#include "pg/memory.hpp"
#include "runtime/launcher.hpp"

namespace dw::runtime {

Site* find_site(const Launcher* self, Oid oid) {
  for (int i = 0; i < self->site_count; i++) {
    if (self->sites[i].oid == oid) return &self->sites[i];
  }
  return nullptr;
}

Site* add_site(Launcher* self, Oid oid) {
  if (self->site_count == self->site_room) {
    const int room = self->site_room == 0 ? 32 : self->site_room * 2;
    const Size size = mul_size(static_cast<Size>(room), sizeof(Site));
    self->sites =
        static_cast<Site*>(self->sites == nullptr ? MemoryContextAlloc(TopMemoryContext, size)
                                                  : repalloc(self->sites, size));
    self->site_room = room;
  }
  Site* const site = &self->sites[self->site_count++];
  *site = Site{};
  site->oid = oid;
  site->state = SiteState::waiting;
  site->not_before = core::kAlways;
  return site;
}

void forget_unseen(Launcher* self) {
  int kept = 0;
  for (int i = 0; i < self->site_count; i++) {
    const Site& site = self->sites[i];
    /* One with a housekeeper is kept until that has left. */
    if (!site.seen && site.state != SiteState::staffed) continue;
    self->sites[kept++] = site;
  }
  self->site_count = kept;
}

void for_each_database(bool (*each)(void* arg, Oid oid, bool connectable), void* arg) {
  Relation catalog = table_open(DatabaseRelationId, AccessShareLock);
  TableScanDesc scan = table_beginscan_catalog(catalog, 0, nullptr);
  bool wanted = true;
  while (wanted) {
    const HeapTuple row = heap_getnext(scan, ForwardScanDirection);
    if (!HeapTupleIsValid(row)) break;
    const auto* const database = reinterpret_cast<Form_pg_database>(GETSTRUCT(row));
    const bool connectable =
        database->datallowconn && database->datconnlimit != DATCONNLIMIT_INVALID_DB;
    wanted = each(arg, database->oid, connectable);
  }
  table_endscan(scan);
  table_close(catalog, AccessShareLock);
}

}  // namespace dw::runtime
