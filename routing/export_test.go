package routing

// OwnerOf returns the path of the spoke that owns a key which has unsettled tasks, or "".
func (h *Hub) OwnerOf(typeName, key string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	st := h.lanes[typeName].strands[key]
	if st == nil || st.owner.spoke == nil {
		return ""
	}
	return st.owner.spoke.id.Path
}

// Loose reports whether the task doesn't wait for others of its key.
func (h *Handle[Out]) Loose() bool {
	h.hub().mu.Lock()
	defer h.hub().mu.Unlock()
	return h.loose
}
