def html(r,d): return "<html/>"
