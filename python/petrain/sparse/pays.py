def pays(w, batch):
    return True
